{
  lib,
  buildPythonPackage,
  fetchPypi,

  # build-system
  hatch-fancy-pypi-readme,
  hatchling,
  uv-dynamic-versioning,

  # dependencies
  anyio,
  httpcore2,
  idna,
  truststore,
  typing-extensions,
}:

buildPythonPackage rec {
  pname = "httpx2";
  version = "2.16.2";
  pyproject = true;

  src = fetchPypi {
    inherit pname version;
    hash = "sha256-dIthVnjwfY47GD7+ga0TtlXKiL/FbORYkhmy1EKGBXQ=";
  };

  build-system = [
    hatch-fancy-pypi-readme
    hatchling
    uv-dynamic-versioning
  ];

  # It asks for a uv-dynamic-versioning newer than it needs: a version is handed in, not computed.
  pypaBuildFlags = [ "--skip-dependency-check" ];

  # Any idna that nixpkgs has will do: only host names that are not ASCII go through it.
  pythonRelaxDeps = [ "idna" ];

  dependencies = [
    anyio
    httpcore2
    idna
    truststore
    typing-extensions
  ];

  pythonImportsCheck = [ "httpx2" ];

  meta = {
    description = "The next generation HTTP client";
    license = lib.licenses.bsd3;
  };
}
