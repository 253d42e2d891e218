"""Names and colours of regions, components and scores in figures (Tuckute et al. 2023)."""

from __future__ import annotations

COMPONENT_DISPLAY_NAMES = {
    "lowfreq": "Low frequency",
    "highfreq": "High frequency",
    "envsounds": "Env. sound",
    "pitch": "Pitch",
    "music": "Music",
    "speech": "Speech",
}


VALUE_LABELS = {
    "median_r2_test": "Median $R^2$",
    "median_r2_test_c": "Median noise-corrected $R^2$",
    "r2_test_c": "Median noise-corrected $R^2$",
    "mean_r2_test_c": "Mean noise-corrected $R^2$",
    "median_r2_train": "Median $R^2$ train",
    "r2_test": "Median $R^2$",
    "rel_pos": "Relative layer position",
    "rel_layer_pos": "Relative best layer",
}


ROI_COLORS = {
    "Anterior": "#00ffff",
    "Primary": "#00ff7f",
    "Lateral": "#0000ff",
    "Posterior": "#ff00ff",
    "any_roi": "#ffa500",
    "none": "#483d8b",
}
