"""SavedModels that anyone can run."""

from tfp_glow.serving.export import export_saved_model
