"""HTTP as the hub means it: routes, who may call them, and what they answer."""
