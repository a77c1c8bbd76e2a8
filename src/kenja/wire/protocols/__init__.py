"""The AWS protocols, one file each; `codec` finds them by name."""
