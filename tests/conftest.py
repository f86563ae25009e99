"""What holds for every test: hypothesis may take its time, since no test asserts a timing."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("unhurried")
