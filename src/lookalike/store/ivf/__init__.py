"""An inverted file of compact codes beside a collection, mapped: searches of millions of rows in a millisecond."""
