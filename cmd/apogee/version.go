package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"
)

func init() {
	register(&command{
		name: "version", args: "", short: "Print the version, and what it was built with",
		setup: func(*pflag.FlagSet) func(context.Context, *app, []string) error {
			return func(_ context.Context, a *app, args []string) error {
				if len(args) > 0 {
					return usagef("version takes no arguments")
				}
				version, revision := "(devel)", ""
				if b, ok := debug.ReadBuildInfo(); ok {
					version = b.Main.Version
					for _, s := range b.Settings {
						if s.Key == "vcs.revision" {
							revision = " " + s.Value
						}
					}
				}
				fmt.Fprintf(a.out, "apogee %s%s %s %s/%s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return nil
			}
		},
	})
}
