"""Everything that is kept. Only this room speaks SQL."""
