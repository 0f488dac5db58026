from prefect import flow, task

from syncd.integrations.prefect import SyncdRepository, take_snapshot

SyncdRepository(config="/etc/syncd/syncd.toml").save("photos", overwrite=True)  # once


@task
def train(tag: str) -> str:
    with SyncdRepository.load("photos").open(tag) as snapshot:
        images = {image.path: image.read() for image in snapshot.images()}
    return f"trained on {len(images)} images of {tag}"


@flow
def nightly() -> str:
    return train(take_snapshot("photos")["tag"])


if __name__ == "__main__":
    nightly()
