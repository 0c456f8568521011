package api

// ConfigSpec is the body of POST /v1/config: a configuration that is to be in
// force as a whole.
type ConfigSpec struct {
	Text   string `json:"text"`              // of the document, in YAML or JSON
	Name   string `json:"name,omitempty"`    // of its file, for messages
	DryRun bool   `json:"dry_run,omitempty"` // only say what would be done
}

// ConfigText is the answer to GET /v1/config?format=yaml. Without a format, the
// answer is the document itself, in JSON.
type ConfigText struct {
	Text string `json:"text"`
}

// ConfigResult is the answer to POST /v1/config.
type ConfigResult struct {
	Changes []string `json:"changes"` // one by one: "add port sw0/web"
	Diff    string   `json:"diff"`    // of the document, before and after, as diff -u writes it
	DryRun  bool     `json:"dry_run"`

	// Warnings are of ports that stand, and are lost until what they hang on comes.
	Warnings []string `json:"warnings,omitempty"`
}
