# The tests of the built package that a build sandbox can run: no network, no browser, no boxes.
#
# The module is evaluated over nixpkgs' `lib` alone here; tests/nix/vm evaluates it in NixOS.
{
  module,
  pkgs,
  python,
}:
let
  inherit (pkgs) lib;
  inherit (lib) fileset;

  tree = fileset.toSource {
    root = ../.;
    fileset = fileset.unions [
      ../.ci
      ../docs
      ../flake.lock
      ../flake.nix
      ../modules
      ../pkgs
      ../python
      ../README.md
      ../tests
    ];
  };

  environment = python.withPackages (packages: [
    module
    packages.hypothesis
    packages.jsonschema
    packages.pytest
    packages.pytest-xdist
  ]);

  run =
    name: tests:
    pkgs.runCommand "hyperhive-tests-${name}"
      {
        nativeBuildInputs = [
          environment
          pkgs.gitMinimal
          pkgs.nix
        ];
        NIX_PATH = "nixpkgs=${
          pkgs.linkFarm "nixpkgs-lib" [
            {
              name = "lib";
              path = pkgs.path + "/lib";
            }
          ]
        }";
      }
      ''
        cp --recursive --no-preserve=mode ${tree} tree
        cd tree
        export HOME=$TMPDIR NIX_STATE_DIR=$TMPDIR/nix
        python -m pytest -c python/pyproject.toml --rootdir . -p no:cacheprovider ${lib.escapeShellArgs tests}
        touch $out
      '';
in
{
  # The import contracts want import-linter, which nixpkgs lacks.
  python = run "python" [
    "--ignore=tests/unit/test_layers.py"
    "tests/contract"
    "tests/forge"
    "tests/harness"
    "tests/store"
    "tests/surfaces"
    "tests/unit"
  ];
  nix = run "nix" [
    "tests/nix"
    "tests/pytest_nixos"
  ];
}
