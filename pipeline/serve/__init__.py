"""The web service: `python -m pipeline.serve`. REST for programs, a page for people; both run the same job."""

from __future__ import annotations
