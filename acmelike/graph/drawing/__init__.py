"""Pictures of programs, as Mermaid text and as SVG."""
