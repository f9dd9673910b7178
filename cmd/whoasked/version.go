package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is what the linker says this build is (-X main.version=…), empty for
// what the module system knows.
var version string

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print what build this is",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			return printVersion(cmd.OutOrStdout(), version, info)
		},
	}
}

// printVersion prints version, commit and toolchain. A stamped version wins;
// info may be nil.
func printVersion(w io.Writer, stamped string, info *debug.BuildInfo) error {
	if info == nil {
		info = &debug.BuildInfo{}
	}
	if _, err := fmt.Fprintln(w, "whoasked", versionName(stamped, info)); err != nil {
		return err
	}
	var commit, modified string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", modified"
		}
	}
	if commit != "" {
		if _, err := fmt.Fprintf(w, "commit %s%s\n", commit, modified); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// versionName is the stamped version, or else that of the module; info may be
// nil.
func versionName(stamped string, info *debug.BuildInfo) string {
	switch {
	case stamped != "":
		return stamped
	case info == nil || info.Main.Version == "" || info.Main.Version == "(devel)":
		return "devel"
	}
	return info.Main.Version
}
