package main

import (
	_ "embed"

	"github.com/spf13/cobra"
)

// demoCapture was recorded with curl and a browser at a real server.
//
//go:embed demo/demo.pcap.gz
var demoCapture []byte

func newDemo(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Answer from a capture that comes with the program",
		Long: `demo does what read does, on a capture that is part of the program: it shows
what an answer looks like. curl and a browser visited two sites of one server;
one of them asks for a certificate, and the person at the browser cancelled the
dialog.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := settings(cmd, t)
			if err != nil {
				return err
			}
			return answer(cmd.Context(), &loaded.Config, t, []input{bytesInput("demo.pcap.gz", demoCapture)})
		},
	}
	addSettings(cmd)
	return cmd
}
