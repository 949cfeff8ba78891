"""The launcher `hosts`: one program on several machines, without other services."""
