// Command pulumi-resource-kubernetes is Pulumi's official provider for Kubernetes.
//
// The provider's own main embeds two files that its build generates and that its Go module lacks. What they are
// generated from is in the module, and the set-up lays it beside this file (recipes.py).
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var terraformMapping []byte

func main() {
	provider.Serve("kubernetes", version.Version, schema, terraformMapping)
}
