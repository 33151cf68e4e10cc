"""Keeps what runs equal to what is declared: observe, plan, apply, again and again."""
