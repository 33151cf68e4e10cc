# What Hyperhive needs of Python and nixpkgs does not have: mcp 2 and the HTTP client under it.
final: _prev: {
  httpcore2 = final.callPackage ./httpcore2.nix { };
  httpx2 = final.callPackage ./httpx2.nix { };
  mcp = final.callPackage ./mcp.nix { };
  mcp-types = final.callPackage ./mcp-types.nix { };
}
