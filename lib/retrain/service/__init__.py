"""The mlmonitoring service: how it is asked, what became of a request, and what its answers say."""
