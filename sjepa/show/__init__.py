"""Pictures and tables for chapters and pages."""
