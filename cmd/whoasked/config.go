package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"whoasked/config"
)

func newConfig(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the effective settings and where each came from",
		Long:  configHelp(),
		Example: `  whoasked config --config old.yaml --rows 10 > new.yaml
  WHOASKED_ROWS=10 whoasked config --only asked`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := settings(cmd, t)
			if err != nil {
				return err
			}
			return loaded.Write(cmd.OutOrStdout())
		},
	}
	addSettings(cmd, config.Groups()...)
	return cmd
}

// addSettings gives a command the settings of all commands as flags, and those
// of groups.
func addSettings(cmd *cobra.Command, groups ...string) {
	config.AddFlags(cmd.Flags(), groups...)
	for _, s := range config.All() {
		if s.Choices != nil && cmd.Flags().Lookup(s.Flag) != nil {
			must(cmd.RegisterFlagCompletionFunc(s.Flag, cobra.FixedCompletions(s.Choices, cobra.ShellCompDirectiveNoFileComp)))
		}
	}
	must(cmd.MarkFlagFilename("config", "yaml", "yml"))
	must(cmd.MarkFlagFilename("output"))
}

// lasting has the help of a command that answers while things happen say that
// log lines are what it writes unless told otherwise, and when.
func lasting(cmd *cobra.Command) {
	cmd.Flags().Lookup("format").DefValue = "log"
	cmd.Flags().Lookup("output").Usage = "write to `FILE`: log and JSON lines as they come, text at the end"
}

// must is for calls that only fail if the program is put together wrongly,
// which every test of a command then shows.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// settings loads the settings for a command and says what is odd about them.
func settings(cmd *cobra.Command, t *terminal) (*config.Loaded, error) {
	loaded, err := config.Load(cmd.Flags())
	if err != nil {
		return nil, err
	}
	t.quiet = loaded.Quiet
	for _, w := range loaded.Warnings {
		t.warn(w)
	}
	return loaded, nil
}

// configHelp explains the three places, with the table of names.
func configHelp() string {
	var b strings.Builder
	b.WriteString(`Settings come from three places; what stands further down wins:

  1. a file: the one named by --config or WHOASKED_CONFIG, else whoasked.yaml in
     the working directory, else whoasked/whoasked.yaml in the user's
     configuration directory
  2. the environment
  3. flags

The output is itself such a file.

`)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  key in the file\tvariable\tflag")
	for _, s := range config.All() {
		fmt.Fprintf(w, "  %s\t%s\t--%s\n", s.Key, s.Env, s.Flag)
	}
	must(w.Flush())
	b.WriteString(`
A list is written with commas in a variable; its flag may also be repeated.
NO_COLOR, set to anything, turns no-color on.

hops names endpoints, and every output uses the names:

  hops:
    - name: gateway
      kind: appgw
      addresses: [198.18.0.20:443, 198.18.2.0/24, "[2001:db8::20]:443"]
      hostnames: [www.contoso.test, "*.fabrikam.test"]
      certificates: [the SHA-256 fingerprint of the leaf certificate]
      declared: off      # or optional, required, passthrough

A hop with addresses is only ever one of those; its host names and certificates
then tell apart hops that share an address. Without addresses either of them is
enough. The longest prefix wins, then a named port, then the certificate, then
the longest host name. Answers say whether what is declared and what was seen
agree; it may also be declared of single names, default being all others and none:

      declared: {www.contoso.test: required, "*.fabrikam.test": off, default: off}

whoasked hops import makes hops out of exports. In a variable or flag: gateway=198.18.0.20:443.`)
	return b.String()
}
