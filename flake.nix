{
  description = "A hive of AI coding agents: messages that are never lost, a live operator's page, one NixOS module";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEachSystem = build: nixpkgs.lib.genAttrs systems (system: build nixpkgs.legacyPackages.${system});
    in
    {
      overlays.default = import ./pkgs/overlay.nix;
      nixosModules.default = import ./modules;
      packages = forEachSystem (pkgs: import ./pkgs { inherit pkgs; });
      devShells = forEachSystem (pkgs: import ./pkgs/shell.nix { inherit pkgs; });
      formatter = forEachSystem (pkgs: pkgs.nixfmt);
    };
}
