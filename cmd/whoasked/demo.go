package main

import (
	"bytes"
	"embed"
	"io"

	"github.com/spf13/cobra"
)

// demoFiles holds a recorded capture and, where it is there, what it shows.
//
//go:embed demo
var demoFiles embed.FS

const (
	demoCapture = "demo/demo.pcapng.gz"
	demoText    = "demo/demo.txt"
)

func newDemo(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Answer from a capture that comes with the program",
		Long: `demo does what read does, on a capture that is part of the program: it shows
what an answer looks like.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := settings(cmd, t)
			if err != nil {
				return err
			}
			data, err := demoFiles.ReadFile(demoCapture)
			if err != nil {
				return err
			}
			if about, err := demoFiles.ReadFile(demoText); err == nil && !loaded.Quiet {
				if _, err := io.Copy(t.err, bytes.NewReader(about)); err != nil {
					return err
				}
			}
			return answer(cmd.Context(), &loaded.Config, t, []input{bytesInput("demo.pcapng.gz", data)})
		},
	}
	addSettings(cmd)
	return cmd
}
