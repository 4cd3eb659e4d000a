// Package v2 stands in for one file of the provider's SDK: a table with a Go type for each kind of Kubernetes, which
// makes the program three times as large and is needed to register the objects of a manifest alone. A resource without
// a type of its own does as well. What is lost: objects of ConfigGroup, ConfigFile and Chart (version 2) have no aliases
// for the other versions of their API group.
package v2

import (
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// RegisterResource registers an object of a manifest.
func RegisterResource(ctx *pulumi.Context, apiVersion, kind, name string, props pulumi.Input,
	opts ...pulumi.ResourceOption,
) (pulumi.CustomResource, error) {
	if !strings.Contains(apiVersion, "/") {
		apiVersion = "core/" + apiVersion
	}
	object := &pulumi.CustomResourceState{}
	return object, ctx.RegisterResource("kubernetes:"+apiVersion+":"+kind, name, props, object, opts...)
}
