"""The front door: what ``import aud_dnn`` offers, loaded when it is first used.

Everything hands on to the rooms that the scripts use, so that both give the same numbers:
:mod:`aud_dnn.api.scoring` scores arrays, :mod:`aud_dnn.api.reading` opens what is on disk.
"""
