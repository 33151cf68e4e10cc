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
      forEachSystem =
        file:
        nixpkgs.lib.genAttrs systems (system: import file { pkgs = nixpkgs.legacyPackages.${system}; });
    in
    {
      overlays.default = import ./pkgs/overlay.nix;
      nixosModules.default = ./modules;
      packages = forEachSystem ./pkgs;
      apps = forEachSystem ./pkgs/apps.nix;
      checks = forEachSystem ./pkgs/checks.nix;
      devShells = forEachSystem ./pkgs/shell.nix;
      formatter = forEachSystem ./pkgs/formatter.nix;
    };
}
