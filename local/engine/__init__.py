"""The embedded engine: MiniStack with the AWS behaviours it lacks put back.

Each module but ``process`` and ``links`` is one link: it names the private functions it wraps
in ``PATCHES`` and wraps them in ``install()``. ``python -m local.engine`` starts the engine,
``local.engine.process.Engine`` runs it as a child process.
"""
