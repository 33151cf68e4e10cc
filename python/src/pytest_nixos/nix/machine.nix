# What every NixOS machine needs before its assertions hold, each overridable by the test.
{ lib, ... }:
let
  inherit (lib) mkDefault;
in
{
  boot.loader.grub.enable = mkDefault false;
  fileSystems."/" = mkDefault {
    device = "none";
    fsType = "tmpfs";
  };
  nixpkgs.hostPlatform = mkDefault builtins.currentSystem;
  system.stateVersion = mkDefault lib.trivial.release;
}
