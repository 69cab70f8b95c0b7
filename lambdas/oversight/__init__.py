"""Functions that serve all runbooks: the approval and the sweep."""
