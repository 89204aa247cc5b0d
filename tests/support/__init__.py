"""What several test rooms share: real processes of both programs, an HTTP client, what a test needs of its machine."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
