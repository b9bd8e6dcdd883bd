"""Data sets: one reader a source, one store for all of them."""

from .catalogue import SOURCES, load_store, prepare_store

__all__ = ["SOURCES", "load_store", "prepare_store"]
