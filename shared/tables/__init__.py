"""The records in Azure Table Storage."""
