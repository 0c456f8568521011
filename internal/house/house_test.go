package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/vswitch/vswitch"

// root is the top of the repository, seen from here.
const root = "../.."

// mayImport says, for each package, which of the others its code may import
// directly. Arrows point one way: down this list nothing imports what is above
// it. A new package takes its place here and in docs/architecture.md.
var mayImport = map[string][]string{
	"cmd/vswitchd": {"control", "store", "handover", "switch", "port"},
	"cmd/vsctl":    {"lab", "lab/guest", "config", "api/client", "api", "vlan", "frame", "internal/document", "internal/ucred"}, // what it knows of the switch is the API, and how words are written
	"lab":          {"config", "lab/vm", "lab/guest", "api/client", "api", "vlan", "frame", "impair", "storm", "internal/terms", "internal/document", "internal/netns", "internal/rtnl", "internal/stack", "internal/ucred"},
	"lab/vm":       {"lab/guest", "internal/initramfs", "internal/natural", "internal/stack"},
	"lab/guest":    {"internal/initramfs", "internal/stack"},

	"config": {"api", "internal/document"},
	"store":  {"internal/lockfile"},

	"handover": {},

	"control/controltest": {"control", "store", "api", "switch", "port/porttest", "port", "fdb", "vlan", "frame"},
	"control":             {"config", "store", "api", "switch", "port", "fdb", "vlan", "frame", "impair", "storm", "internal/document", "internal/natural", "internal/terms", "internal/ucred", "internal/lockfile"},
	"api/client":          {"api", "internal/ucred"},
	"api":                 {},

	"switch":        {"port", "fdb", "vlan", "frame", "impair", "storm", "internal/natural"},
	"port/porttest": {"port", "frame"},
	"port":          {"frame", "internal/rtnl", "internal/netns"},
	"fdb":           {"vlan", "frame"},
	"vlan":          {"frame"},
	"frame":         {},
	"impair":        {},
	"storm":         {},

	"internal/rtnl":      {"internal/netns"},
	"internal/netns":     {},
	"internal/natural":   {},
	"internal/stack":     {},
	"internal/initramfs": {},
	"internal/ucred":     {},
	"internal/lockfile":  {},
	"internal/document":  {},
	"internal/terms":     {"api", "vlan", "frame", "impair"},
	"internal/schema":    {"lab", "lab/vm", "config", "api"},
	"internal/house":     {},

	"bench": {"api/client", "api"},

	// These know the product by its programs alone; their guests are made and
	// booted like those of labs.
	"e2e":       {"handover", "internal/initramfs"},
	"e2e/agent": {"internal/initramfs"},
}

// forTests is what test files may import beside that.
var forTests = map[string][]string{
	"switch":    {"port/porttest"},
	"control":   {"api/client", "control/controltest"},
	"cmd/vsctl": {"control/controltest"},
}

// pure are the packages that know neither the network's other end nor the
// system: what they decide can be tested anywhere.
var (
	pure      = []string{"frame", "vlan", "fdb", "impair", "storm"}
	worldly   = []string{"net/http", "os/exec", "golang.org/x/sys/unix", "syscall"}
	neverEven = map[string][]string{"cmd/vsctl": {"switch", "port"}} // by way of others, too
)

// file is a Go file as far as the house is concerned.
type file struct {
	path    string // from the root
	test    bool
	doc     *ast.CommentGroup
	name    string // of its package
	imports []string
}

// packages parses all Go files, of every system, by folder.
func packages(t *testing.T) map[string][]file {
	t.Helper()
	all := make(map[string][]file)
	walk(t, func(path string) {
		if !strings.HasSuffix(path, ".go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		one := file{path: path, test: strings.HasSuffix(path, "_test.go"), doc: f.Doc, name: f.Name.Name}
		for _, imp := range f.Imports {
			name, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatalf("%s: import %s: %v", path, imp.Path.Value, err)
			}
			one.imports = append(one.imports, name)
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		all[dir] = append(all[dir], one)
	})
	if len(all) == 0 {
		t.Fatal("no Go files found")
	}
	return all
}

// walk calls fn for every file that belongs to the repository.
func walk(t *testing.T, fn func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (rel == ".git" || rel == "bin"):
			return fs.SkipDir
		case d.Type().IsRegular():
			fn(rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ours returns the folder of a package of this module.
func ours(path string) (string, bool) { return strings.CutPrefix(path, module+"/") }

func TestImportsPointOneWay(t *testing.T) {
	all := packages(t)
	for dir, files := range all {
		allowed, known := mayImport[dir]
		if !known {
			t.Errorf("package %s has no place in the house: give it one in mayImport, and in docs/architecture.md", dir)
			continue
		}
		for _, f := range files {
			for _, path := range f.imports {
				dep, own := ours(path)
				switch {
				case !own || dep == dir || slices.Contains(allowed, dep):
				case f.test && slices.Contains(forTests[dir], dep):
				default:
					t.Errorf("%s imports %s: package %s may import %q of this module", f.path, dep, dir, allowed)
				}
			}
		}
	}
}

func TestImportsAllowedGoNoCircle(t *testing.T) {
	var visit func(at string, way []string)
	visit = func(at string, way []string) {
		if slices.Contains(way, at) {
			t.Fatalf("mayImport goes in a circle: %q", append(way, at))
		}
		for _, next := range mayImport[at] {
			if _, known := mayImport[next]; !known {
				t.Fatalf("mayImport lets %s import %s, which it does not know", at, next)
			}
			visit(next, append(slices.Clip(way), at))
		}
	}
	for dir := range mayImport {
		visit(dir, nil)
	}
}

func TestDecisionsAreMadeWithoutTheSystem(t *testing.T) {
	all := packages(t)
	for _, dir := range pure {
		for _, f := range all[dir] {
			for _, path := range f.imports {
				if !f.test && slices.Contains(worldly, path) {
					t.Errorf("%s imports %s: frame, vlan and fdb decide, and others act", f.path, path)
				}
			}
		}
	}
}

func TestClientsKnowTheSwitchByItsAPIAlone(t *testing.T) {
	all := packages(t)
	for dir, banned := range neverEven {
		for dep, via := range closure(all, dir) {
			if slices.Contains(banned, dep) {
				t.Errorf("%s imports %s, by way of %q", dir, dep, via)
			}
		}
	}
}

// closure returns all packages of the module that a package's code needs, each
// with the way to it.
func closure(all map[string][]file, dir string) map[string][]string {
	found := map[string][]string{dir: {dir}}
	for queue := []string{dir}; len(queue) > 0; queue = queue[1:] {
		for _, f := range all[queue[0]] {
			for _, path := range f.imports {
				dep, own := ours(path)
				if _, seen := found[dep]; own && !f.test && !seen {
					found[dep] = append(slices.Clip(found[queue[0]]), dep)
					queue = append(queue, dep)
				}
			}
		}
	}
	return found
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for dir, files := range packages(t) {
		var docs []file
		for _, f := range files {
			if f.doc != nil && !f.test {
				docs = append(docs, f)
			}
		}
		if len(docs) != 1 {
			t.Errorf("package %s has %d files with a package comment, want one", dir, len(docs))
			continue
		}
		want := "Package " + docs[0].name + " "
		if docs[0].name == "main" {
			want = "Command " + filepath.Base(dir) + " "
		}
		if got := docs[0].doc.Text(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: the package comment begins %.40q, want %q", docs[0].path, got, want)
		}
	}
}

// outside matches paths of somebody's machine.
var outside = regexp.MustCompile(`(^|[^\w.])/(?:work|home/\w|Users/\w|root/\w|tmp/w)\b[/\w]*`)

func TestFilesNameNothingOutsideTheRepository(t *testing.T) {
	walk(t, func(path string) {
		if path == filepath.Join("internal", "house", "house_test.go") || strings.Contains(path, filepath.Join("testdata", "fuzz")) {
			return
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if m := outside.FindString(line); m != "" {
				t.Errorf("%s:%d names %q, which only one machine has", path, i+1, strings.TrimSpace(m))
			}
		}
	})
}

// namedTest matches the name of a test that a text refers to.
var namedTest = regexp.MustCompile("`(Test[A-Z]\\w+)`")

// TestTestsThatDocsNameAreThere: a promise is kept by a test that is there.
func TestTestsThatDocsNameAreThere(t *testing.T) {
	var all strings.Builder
	walk(t, func(path string) {
		if strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	})
	walk(t, func(path string) {
		if !strings.HasSuffix(path, ".md") {
			return
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range namedTest.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(all.String(), "func "+m[1]+"(") {
				t.Errorf("%s names %s, which is no test", path, m[1])
			}
		}
	})
}

// link matches the target of a link in Markdown.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksInDocsLeadSomewhere(t *testing.T) {
	walk(t, func(path string) {
		if !strings.HasSuffix(path, ".md") {
			return
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			checkLink(t, path, m[1])
		}
	})
}

func checkLink(t *testing.T, from, target string) {
	t.Helper()
	if strings.Contains(target, "://") {
		return
	}
	name, anchor, _ := strings.Cut(target, "#")
	to := from
	if name != "" {
		to = filepath.Join(filepath.Dir(from), name)
	}
	if !filepath.IsLocal(to) {
		t.Errorf("%s links to %s, which is outside of the repository", from, target)
		return
	}
	text, err := os.ReadFile(filepath.Join(root, to))
	if info, statErr := os.Stat(filepath.Join(root, to)); statErr == nil && info.IsDir() && anchor == "" {
		return
	}
	switch {
	case err != nil:
		t.Errorf("%s links to %s, which is not there", from, target)
	case anchor != "" && !slices.Contains(anchors(string(text)), anchor):
		t.Errorf("%s links to %s: no heading there makes #%s", from, target, anchor)
	}
}

// anchors returns what the headings of a text can be linked by, as GitHub and
// others make it: in small letters, blanks as hyphens, other signs left out.
func anchors(text string) (list []string) {
	drop := regexp.MustCompile(`[^\w\- ]`)
	code := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			code = !code
		}
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if code || !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		list = append(list, strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-"))
	}
	return list
}
