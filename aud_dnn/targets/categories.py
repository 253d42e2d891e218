"""The eleven sound categories of the published stimuli, in plotting order."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SoundCategory:
    """One of the eleven sound categories: id, label and colour in figures, broad class."""

    name: str
    display_name: str
    color: str
    broad: str


SOUND_CATEGORIES: dict[str, SoundCategory] = {
    category.name: category
    for category in (
        SoundCategory("Music", "Instr. Music", "#0000cd", "Music_all"),
        SoundCategory("Song", "Vocal Music", "#00bfff", "Music_all"),
        SoundCategory("EngSpeech", "English Speech", "#006400", "Speech_all"),
        SoundCategory("ForSpeech", "Foreign Speech", "#32cd32", "Speech_all"),
        SoundCategory("HumVoc", "NonSpeech Vocal", "#9400d3", "Vocal_all"),
        SoundCategory("AniVoc", "Animal Vocal", "#da70d6", "Vocal_all"),
        SoundCategory("HumNonVoc", "Human NonVocal", "#b22222", "NonVocal_all"),
        SoundCategory("AniNonVoc", "Animal NonVocal", "#ff69b4", "NonVocal_all"),
        SoundCategory("Nature", "Nature", "#ffd700", "Nature_all"),
        SoundCategory("Mechanical", "Mechanical", "#ff8c00", "Mechanical_all"),
        SoundCategory("EnvSound", "Env. Sounds", "#808080", "EnvSound_all"),
    )
}
"""The sound categories in plotting order."""
