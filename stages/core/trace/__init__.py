"""From any token to its page, and from any page to every model: what dvc.lock and a build's data answer."""
