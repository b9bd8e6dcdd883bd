"""Protocols that judge an encoder, frozen or trained further."""
