# services.hyperhive. What it does so far, and what it does not: README.md in this directory.
{
  imports = [
    ./options.nix
    ./service.nix
  ];
}
