"""The door: parse, call one verb, return. One file a resource."""
