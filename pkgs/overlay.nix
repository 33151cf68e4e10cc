final: _prev: { inherit (import ./. { pkgs = final; }) hyperhive; }
