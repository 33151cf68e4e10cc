{
  lib,
  buildPythonPackage,
  fetchPypi,

  # build-system
  hatchling,
  uv-dynamic-versioning,

  # dependencies
  pydantic,
  typing-extensions,
}:

buildPythonPackage rec {
  pname = "mcp-types";
  version = "2.3.0";
  pyproject = true;

  src = fetchPypi {
    pname = "mcp_types";
    inherit version;
    hash = "sha256-0eRlSe2zXuGalJQPzubRrd1+WJq36pLdqD9dhHgfw2I=";
  };

  build-system = [
    hatchling
    uv-dynamic-versioning
  ];

  dependencies = [
    pydantic
    typing-extensions
  ];

  pythonImportsCheck = [ "mcp_types" ];

  meta = {
    description = "Model Context Protocol wire types";
    license = lib.licenses.mit;
  };
}
