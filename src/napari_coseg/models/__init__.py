from napari_coseg.models import lean_imports as lean_imports
