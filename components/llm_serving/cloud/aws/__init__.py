"""Amazon Web Services: what fulfils the contract there."""
