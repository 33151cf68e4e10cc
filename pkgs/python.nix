# What Hyperhive needs of Python and nixpkgs does not have: mcp 2 with the HTTP client under it, and a
# client for the forge.
final: _prev: {
  httpcore2 = final.callPackage ./httpcore2.nix { };
  httpx2 = final.callPackage ./httpx2.nix { };
  mcp = final.callPackage ./mcp.nix { };
  mcp-types = final.callPackage ./mcp-types.nix { };
  py-gitea = final.callPackage ./py-gitea.nix { };
}
