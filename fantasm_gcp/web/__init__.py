"""The Flask side: the extension, the blueprint with every path, who may call it, and what it answers."""
