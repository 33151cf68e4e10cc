# `nix fmt`: every Nix file of the tree, as nixpkgs formats its own.
{ pkgs }: pkgs.nixfmt-tree
