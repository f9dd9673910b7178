package traffic

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Make writes the capture of a profile to a file, then the truth about it beside
// it, so that a truth never stands beside an unfinished capture.
func Make(path string, p Profile) (truth Truth, err error) {
	recs, err := Record()
	if err != nil {
		return truth, err
	}
	if err := os.Remove(truthPath(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return truth, err
	}
	f, err := os.Create(path)
	if err != nil {
		return truth, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if truth, err = Write(f, p, recs); err != nil {
		return truth, err
	}
	b, err := json.MarshalIndent(truth, "", "  ")
	if err != nil {
		return truth, err
	}
	return truth, os.WriteFile(truthPath(path), b, 0o644)
}

func truthPath(path string) string { return path + ".truth.json" }

// Load reads the truth about a capture; it fails unless the file is complete and
// made for p by this version of the generator.
func Load(path string, p Profile) (truth Truth, err error) {
	b, err := os.ReadFile(truthPath(path))
	if err != nil {
		return truth, err
	}
	if err := json.Unmarshal(b, &truth); err != nil {
		return truth, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return truth, err
	}
	if truth.Profile != p || truth.Generator != Generator || st.Size() != truth.Bytes {
		return truth, fmt.Errorf("%s was made for something else", path)
	}
	return truth, nil
}
