"""The one boundary to Azure Resource Manager."""
