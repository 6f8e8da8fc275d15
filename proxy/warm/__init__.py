"""Thumbnails before anybody asks for them: a folder is walked, and each picture asked for, behind all visitors."""
