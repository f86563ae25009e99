"""gRPC spoken on HTTP/2 frames that libnghttp2 packs and unpacks (ngh2)."""
