"""The command line ``ndsharray``, a module for each command; nothing else imports this package."""
