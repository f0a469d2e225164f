package daemon

import (
	"fmt"
	"strings"
)

// published are secrets that everybody can read in public files: the password and the master key that
// docker-compose.yml once had.
var published = []string{"development-only", "aW5zZWN1cmUtZGV2ZWxvcG1lbnQtbWFzdGVyLWtleSE="}

// Published returns a message for each setting of the environment that contains a published secret. The messages do
// not repeat the secret.
func Published(environ []string) (problems []string) {
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		for _, secret := range published {
			if strings.HasPrefix(name, Prefix) && strings.Contains(value, secret) {
				problems = append(problems, fmt.Sprintf("%s is a development value that is public: whoever reads our repository can use it", name))
			}
		}
	}
	return problems
}
