"""Weights of other projects, by the name that outside checks call."""

from sjepa.protocols.encoders import encoder_from_mamp as encoder_from_mamp
