"""The launcher `ray`: Ray finds the machines and reserves what nodes need of them."""
