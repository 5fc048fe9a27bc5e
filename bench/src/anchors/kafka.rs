//! Apache Kafka by its Maven artefacts: one folder of jars, no archive of a distribution.
//! It measures nothing, and refuses a Java that is too old for Kafka 4.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::Anchor;
use super::step::Step;
use super::tool::Tool;

/// The broker, its tools, and the logging that its own distribution has.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>mainstay</groupId>
  <artifactId>kafka-anchor</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>4.1.1</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.24.3</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-core</artifactId>
      <version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
"#;

const JAVA: Tool = Tool {
    program: "java",
    version: "-version",
    least: [17, 0, 0],
    get: "a Java runtime, 17 or newer (Debian: openjdk-17-jre-headless)",
};
const MAVEN: Tool =
    Tool { program: "mvn", version: "-version", least: [0, 0, 0], get: "Maven (Debian: maven)" };
/// Some fifty megabytes.
const LIMIT: Duration = Duration::from_secs(600);

/// See the module's page.
pub(super) const KAFKA: Anchor = Anchor {
    name: "kafka",
    version: "4.1.1",
    install_tools: &[MAVEN],
    run_tools: &[JAVA],
    files: &[("pom.xml", POM)],
    steps,
    products: |directory| vec![broker(directory)],
};

/// The Java that runs it, and its class path.
pub(crate) fn java() -> Result<(PathBuf, String)> {
    let directory = KAFKA.installed()?;
    Ok((JAVA.find()?, format!("{}/lib/*", directory.display())))
}

fn steps(directory: &Path) -> Result<Vec<Step>> {
    let output = format!("-DoutputDirectory={}", directory.join("lib").display());
    let arguments = ["--batch-mode", "--quiet", "dependency:copy-dependencies", &output];
    Ok(vec![Step {
        what: "Maven fetches its jars".to_owned(),
        program: MAVEN.find()?,
        arguments: arguments.map(Into::into).to_vec(),
        environment: Vec::new(),
        limit: LIMIT,
    }])
}

fn broker(directory: &Path) -> PathBuf {
    directory.join("lib/kafka_2.13-4.1.1.jar")
}
